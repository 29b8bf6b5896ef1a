import { ERRNO } from '../../core/net/netlink.ts';

/** What nft and ip say for an error of the kernel: strerror(3), of glibc and of musl where they differ. */
const WORDS: readonly (readonly [string, number])[] = [
  ['Operation not permitted', ERRNO.EPERM],
  ['No such file or directory', ERRNO.ENOENT],
  ['No such process', ERRNO.ESRCH],
  ['Interrupted system call', ERRNO.EINTR],
  ['No such device or address', ERRNO.ENXIO],
  ['Resource temporarily unavailable', ERRNO.EAGAIN],
  ['Cannot allocate memory', ERRNO.ENOMEM],
  ['Out of memory', ERRNO.ENOMEM],
  ['Device or resource busy', ERRNO.EBUSY],
  ['Resource busy', ERRNO.EBUSY],
  ['File exists', ERRNO.EEXIST],
  // ip prints the kernel's own words in place of these where it has some.
  ['ddress already assigned', ERRNO.EEXIST],
  ['ddress not found', ERRNO.EADDRNOTAVAIL],
  ['Nexthop has invalid gateway', ERRNO.ENETUNREACH],
  ['No such device', ERRNO.ENODEV],
  ['Cannot find device', ERRNO.ENODEV],
  ['Invalid argument', ERRNO.EINVAL],
  ['Too many open files in system', ERRNO.ENFILE],
  ['Operation not supported', ERRNO.EOPNOTSUPP],
  ['Not supported', ERRNO.EOPNOTSUPP],
  ['Cannot assign requested address', ERRNO.EADDRNOTAVAIL],
  ['Address not available', ERRNO.EADDRNOTAVAIL],
  ['Network is unreachable', ERRNO.ENETUNREACH],
  ['Network unreachable', ERRNO.ENETUNREACH],
  ['No buffer space available', ERRNO.ENOBUFS],
  ['No route to host', ERRNO.EHOSTUNREACH],
  ['Host is unreachable', ERRNO.EHOSTUNREACH],
];

/** The longest words win: 'No such device or address' is not 'No such device'. Undefined: none of them. */
export function errnoOf(words: string): number | undefined {
  const found = WORDS.filter(([text]) => words.includes(text)).sort(([a], [b]) => b.length - a.length);
  return found[0]?.[1];
}
