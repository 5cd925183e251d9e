import { defineConfig, migration } from 'changeover';
import { dynamodb } from 'changeover/dynamodb';
import { mongodb } from 'changeover/mongodb';
import type { Event } from './event.ts';
import { places } from './places.ts';

export default defineConfig({
  control: places.control,
  migrations: {
    events: migration<Event>({
      key: ['userKey', 'id'],
      unit: 'userKey',
      // The documents as the application has always written them: their _id is the event's id.
      old: mongodb({ url: places.mongodb, database: places.database, collection: 'events', id: 'id' }),
      new: dynamodb({
        endpoint: places.dynamodb,
        // On AWS, leave out endpoint, region and credentials: the SDK finds them.
        region: 'local',
        credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
        table: places.table,
        partitionKey: 'userKey',
        sortKey: 'id',
        createTable: true,
        // A server of one's own holds nothing back for minutes, as the cloud might.
        lateBoundMs: 1_000,
      }),
    }),
  },
});
