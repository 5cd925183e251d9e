import { expect, test } from 'vitest';
import { networkMount } from '../../src/core/network-mount.ts';

const MOUNTS = [
  '/dev/sda1 / ext4 rw,relatime 0 0',
  'server:/export /srv nfs4 rw,vers=4.2 0 0',
  '//files/team /mnt/team\\040files cifs rw 0 0',
  'ada@host: /home/ada/remote fuse.sshfs rw 0 0',
  '/dev/sdb1 /srv/local xfs rw 0 0',
  'portal /run/user/portal fuse.portal rw 0 0',
  'server:/a /twice nfs rw 0 0',
  'tmpfs /twice tmpfs rw 0 0',
].join('\n');

test.each([
  ['/var/lib/control.db', null],
  ['/srv/control.db', 'nfs4'],
  ['/srv', 'nfs4'],
  ['/srvice/control.db', null],
  ['/srv/local/control.db', null],
  ['/mnt/team files/a/control.db', 'cifs'],
  ['/home/ada/remote/control.db', 'fuse.sshfs'],
  ['/run/user/portal/control.db', null],
  ['/twice/control.db', null],
])('%s lies on %s', (path, type) => {
  expect(networkMount(path, MOUNTS)).toBe(type);
});

test('without a list of mounts nothing is said', () => {
  expect(networkMount('/srv/control.db', '')).toBeNull();
});
