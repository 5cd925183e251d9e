/** File systems whose files live on another machine: locks and memory maps of SQLite cannot be trusted there. */
const NETWORK = /^(?:nfs\d?|cifs|smb\d?|smbfs|ncpfs|afs|coda|9p|ceph|glusterfs|lustre|beegfs|gpfs|ocfs2|gfs2|davfs2?)$/;
const NETWORK_FUSE = /^fuse\.(?:sshfs|s3fs|rclone|glusterfs|ceph|goofys|gcsfuse|davfs2?|juicefs|mountpoint-s3)/;

/** Spaces and such are written as octal in the list of mounts. */
const unquoted = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

const holds = (mount: string, path: string): boolean =>
  mount === '/' || path === mount || path.startsWith(mount.endsWith('/') ? mount : `${mount}/`);

/**
 * The type of the network file system that an absolute path (with its links resolved) lies on, by a list of mounts such
 * as /proc/self/mounts; null on a local disk.
 */
export function networkMount(path: string, mounts: string): string | null {
  let best = '';
  let type = '';
  for (const line of mounts.split('\n')) {
    const [, mount = '', kind = ''] = line.split(' ');
    const place = unquoted(mount);
    // A later mount at the same place hides the earlier one.
    if (place !== '' && holds(place, path) && place.length >= best.length) [best, type] = [place, kind];
  }
  return NETWORK.test(type) || NETWORK_FUSE.test(type) ? type : null;
}
