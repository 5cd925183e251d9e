/** Where the servers are; the defaults are those of docker/compose.yaml. */
export const places = {
  mongodb: process.env['MONGODB_URL'] ?? 'mongodb://127.0.0.1:27017/?directConnection=true',
  database: process.env['MONGODB_DATABASE'] ?? 'shop',
  dynamodb: process.env['DYNAMODB_ENDPOINT'] ?? 'http://127.0.0.1:8000',
  table: process.env['DYNAMODB_TABLE'] ?? 'events',
  control: process.env['CHANGEOVER_CONTROL'] ?? 'sqlite:.changeover/control.db',
  service: { host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) },
};
