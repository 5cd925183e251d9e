import { Cache } from './servers/cache.ts';
import { freePort } from './servers/free-port.ts';
import { KeeperLink } from './servers/keeper-link.ts';
import { initiate, LOCAL_MONGODB, mongodbProcess } from './servers/local-mongodb.ts';
import { makeServerFolder } from './servers/run-folder.ts';

/** Two MongoDB servers of one test, one of which follows the other. */
export class OwnReplicaSet implements AsyncDisposable {
  /** Of the set, and of each member by itself. */
  readonly url: string;
  readonly members: readonly string[];
  readonly #keeper: KeeperLink;

  private constructor(keeper: KeeperLink, ports: readonly number[]) {
    this.#keeper = keeper;
    const hosts = ports.map((port) => `127.0.0.1:${port}`);
    this.url = `mongodb://${hosts.join(',')}/?replicaSet=rs0`;
    this.members = hosts.map((host) => `mongodb://${host}/?directConnection=true`);
  }

  static async create(): Promise<OwnReplicaSet> {
    const { folder } = await LOCAL_MONGODB.fetch(new Cache(process.env));
    const keeper = await KeeperLink.begin();
    const ports = [await freePort(), await freePort()];
    const set = new OwnReplicaSet(keeper, ports);
    const kept = ports.map((port, i) => {
      const name = `mongodb-${i}`;
      return keeper.start({
        ...mongodbProcess(folder, keeper.folder, port, makeServerFolder(keeper.folder, name)),
        name,
      });
    });
    const gone = (): string | null => kept.map((one) => one.gone()).find((how) => how !== null) ?? null;
    await initiate(
      set.members[0] as string,
      ports.map((port) => `127.0.0.1:${port}`),
      gone,
    );
    return set;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keeper.stop();
  }
}
