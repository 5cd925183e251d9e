import { defineConfig } from 'vitest/config';

/** A run of its own, for the tests of the set-up and of the closing line. */
export default defineConfig({
  test: {
    include: ['test/support/servers/*.fixture.ts'],
    globalSetup: ['test/support/servers/global-setup.ts'],
    reporters: ['default', './test/support/closing-line-reporter.ts'],
  },
});
