import { mkdtemp, open, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The part of a file handle that spilling needs; `close` is idempotent and removes the file. */
export interface SpillFile {
  write(buffer: Uint8Array, position: number): Promise<void>;
  read(buffer: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * A directory for one run's spill files, made when the first file is: a run that fits into memory leaves no trace.
 * `close` removes everything, files before the directory.
 */
export class TemporaryDirectory {
  readonly #parent: string;
  #path: Promise<string> | null = null;
  readonly #files = new Set<SpillFile>();
  #count = 0;

  constructor(parent: string = tmpdir()) {
    this.#parent = parent;
  }

  async file(): Promise<SpillFile> {
    this.#path ??= mkdtemp(join(this.#parent, 'changeover-verify-'));
    this.#count += 1;
    const name = `${this.#count}.spill`;
    const path = join(await this.#path, name);
    const handle = await open(path, 'wx+', 0o600);
    const file: SpillFile = {
      async write(buffer, position) {
        for (let done = 0; done < buffer.byteLength; ) {
          const { bytesWritten } = await handle.write(buffer, done, buffer.byteLength - done, position + done);
          done += bytesWritten;
        }
      },
      async read(buffer, position) {
        for (let done = 0; done < buffer.byteLength; ) {
          const { bytesRead } = await handle.read(buffer, done, buffer.byteLength - done, position + done);
          if (bytesRead === 0) throw new RangeError('a spill file is shorter than what was written to it');
          done += bytesRead;
        }
      },
      close: async () => {
        if (!this.#files.delete(file)) return;
        await handle.close();
        await unlink(path);
      },
    };
    this.#files.add(file);
    return file;
  }

  async close(): Promise<void> {
    const path = this.#path;
    this.#path = null;
    for (const file of [...this.#files].reverse()) await file.close();
    if (path !== null) await rm(await path, { recursive: true, force: true });
  }
}
