/**
 * Builds the operators' console after an install of a clone. Where what builds it was left out (`--omit=dev`) nothing is
 * built, and the server says so where its page would be.
 */
const vite = await import('vite').catch(() => null);
if (vite === null) console.log('vite is not installed: the console is not built');
else await vite.build({ logLevel: 'warn' });
