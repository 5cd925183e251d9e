/** The servers that a URL names, in one form, without who asks: two URLs of one place are told to be the same. */
export function serversOf(url: string, port: number): string {
  const hosts = /^[a-z+]+:\/\/(?:[^@/]*@)?([^/?]*)/i.exec(url)?.[1] ?? '';
  return hosts
    .toLowerCase()
    .split(',')
    .map((host) => (/:\d+$/.test(host) ? host : `${host}:${port}`).replace(/^(?:localhost|\[::1\]):/, '127.0.0.1:'))
    .sort()
    .join(',');
}
