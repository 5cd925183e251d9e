import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that last long and are short, so that nobody would guess it: begun last, each would keep a lane idle. */
const LONG = [
  'adapters/dynamodb',
  'cli/demo',
  'cli/walk',
  'e2e/pairs',
  'adapters/postgres',
  'adapters/mongodb',
  'cli/backfill',
  'bench',
  'simulation/simulation',
  'server/schemathesis',
  'e2e/faults',
  'adapters/mysql',
  'examples-mongodb',
  'servers-docker',
  'console/finished',
];

const rank = ({ moduleId }: TestSpecification): number => {
  const place = LONG.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
  return place === -1 ? LONG.length : place;
};

/** Vitest's own order, with what lasts longest before it. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}
