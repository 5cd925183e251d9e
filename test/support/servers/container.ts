import type { StartedTestContainer } from 'testcontainers';
import type { Engine } from './engine.ts';
import type { KeeperLink } from './keeper-link.ts';
import { initiate } from './local-mongodb.ts';
import type { RunningServer } from './local-server.ts';
import { type Environment, imageVariable, type ServerName } from './names.ts';
import { secret } from './secret.ts';

/** How a server is run out of its official image. */
interface Recipe {
  readonly image: string;
  readonly port: number;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly url: (place: string) => string;
  /** What it needs besides being started. */
  readonly finish?: (url: string) => Promise<void>;
}

/** The first start may have to pull the image. */
const START_MS = 180_000;

function recipe(name: ServerName): Recipe {
  const password = secret();
  const recipes: Readonly<Record<ServerName, Recipe>> = {
    mongodb: {
      image: 'mongo:7.0.14',
      port: 27_017,
      command: ['--replSet', 'rs0', '--bind_ip_all', '--quiet'],
      environment: {},
      // The set knows itself by a name of the container's, which nobody outside can reach.
      url: (place) => `mongodb://${place}/?directConnection=true`,
      finish: (url) => initiate(url, ['127.0.0.1:27017'], () => null),
    },
    dynamodb: {
      image: 'amazon/dynamodb-local:2.5.2',
      port: 8_000,
      command: ['-jar', 'DynamoDBLocal.jar', '-inMemory', '-sharedDb', '-disableTelemetry'],
      environment: {},
      url: (place) => `http://${place}`,
    },
    postgres: {
      image: 'postgres:17.2',
      port: 5_432,
      command: ['postgres', '-c', 'fsync=off', '-c', 'full_page_writes=off', '-c', 'max_connections=300'],
      environment: { POSTGRES_PASSWORD: password },
      url: (place) => `postgres://postgres:${password}@${place}/postgres`,
    },
    mysql: {
      image: 'mariadb:11.4.4',
      port: 3_306,
      command: ['--character-set-server=utf8mb4', '--max-connections=300'],
      environment: { MARIADB_ROOT_PASSWORD: password, MARIADB_DATABASE: 'test' },
      url: (place) => `mysql://root:${password}@${place}/test`,
    },
  };
  return recipes[name];
}

/**
 * Starts a server in a container by testcontainers, which pulls the image if the engine has not got it. The keeper removes
 * the container when the run ends, so testcontainers' own reaper (one more image to pull) is not needed.
 */
export async function startContainer(
  name: ServerName,
  engine: Engine,
  keeper: KeeperLink,
  environment: Environment,
): Promise<RunningServer> {
  const { image, port, command, environment: variables, url: urlOf, finish } = recipe(name);
  const label = `changeover.run=${keeper.folder}`;
  keeper.keepContainers(engine.address, label);
  process.env['DOCKER_HOST'] = engine.host;
  process.env['TESTCONTAINERS_RYUK_DISABLED'] ??= 'true';
  const { GenericContainer, Wait } = await import('testcontainers');
  const container = await inTime(
    new GenericContainer(environment[imageVariable(name)] ?? image)
      .withLabels({ 'changeover.run': keeper.folder })
      .withExposedPorts(port)
      .withEnvironment({ ...variables })
      .withCommand([...command])
      // Whether it serves is for its own driver to say.
      .withWaitStrategy(Wait.forAll([]))
      .start(),
  );
  const url = urlOf(place(container, port));
  await finish?.(url);
  return { url, gone: () => null };
}

function place(container: StartedTestContainer, port: number): string {
  const host = container.getHost();
  return `${host === 'localhost' ? '127.0.0.1' : host}:${container.getMappedPort(port)}`;
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it did not start within ${START_MS / 1_000} s`)), START_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
