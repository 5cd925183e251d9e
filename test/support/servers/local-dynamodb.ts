import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from './command.ts';
import { freePort } from './free-port.ts';
import type { KeptProcess } from './keeper-orders.ts';
import type { LocalServer } from './local-server.ts';

const VERSION = '2.6.1';
const PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1';
/** Over the names and digests of all jars. */
const JARS_SHA256 = 'fc65f12e5db3d214e4f0dcf0466fe38e11f8b91224a71af28be76c00387e616e';

const POM = `<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>changeover</groupId><artifactId>test-servers</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>com.amazonaws</groupId><artifactId>DynamoDBLocal</artifactId><version>${VERSION}</version></dependency>
  </dependencies>
</project>
`;

/** DynamoDB Local, by Maven, on the machine's own Java. */
export const LOCAL_DYNAMODB: LocalServer = {
  async fetch(cache) {
    await command('java', ['-version']);
    return cache.get(`dynamodb-local-${VERSION}`, async (folder) => {
      const pom = join(folder, 'pom.xml');
      writeFileSync(pom, POM);
      await command(
        'mvn',
        [...['-q', '-B', '-f', pom, `${PLUGIN}:copy-dependencies`], '-DincludeScope=runtime', '-DoutputDirectory=lib'],
        { cwd: folder },
      );
      const found = digest(join(folder, 'lib'));
      if (found !== JARS_SHA256) throw new Error(`the jars are not the pinned ones: their digest is ${found}`);
      rmSync(pom);
    });
  },

  async start({ folder }, keeper) {
    const port = await freePort();
    const kept = keeper.start(dynamodbProcess(folder, keeper.folder, port, ['-inMemory']));
    return { url: `http://127.0.0.1:${port}`, gone: kept.gone };
  },
};

/** The server out of its jars; `storage` says where it keeps its data. */
export const dynamodbProcess = (jars: string, own: string, port: number, storage: readonly string[]): KeptProcess => ({
  name: 'dynamodb',
  program: 'java',
  args: [
    ...['-Xmx512m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', `-Dchangeover.run=${own}`],
    ...[`-Djava.library.path=${join(jars, 'lib')}`, '-cp', join(jars, 'lib/*')],
    ...['com.amazonaws.services.dynamodbv2.local.main.ServerRunner', ...storage, '-sharedDb'],
    ...['-disableTelemetry', '-port', String(port)],
  ],
  env: {},
  cwd: own,
  log: join(own, 'dynamodb.log'),
  stopSignal: 'SIGTERM',
});

function digest(folder: string): string {
  const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');
  const lines = readdirSync(folder)
    .sort()
    .map((name) => `${name} ${sha256(readFileSync(join(folder, name)))}\n`);
  return sha256(lines.join(''));
}
