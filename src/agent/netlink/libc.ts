import { failure } from '../../core/errors.ts';

/** What a netlink socket needs of libc. A negative result is an error; `errno` then has its number. */
export interface Libc {
  /** In the namespace of the thread, or in that of the path. */
  socket(protocol: number, netns: string | undefined): number;
  setOption(fd: number, level: number, option: number, value: number): number;
  /** Blocks while the kernel does what it is told. */
  send(fd: number, bytes: Uint8Array): number;
  /** The same in another thread: for work that takes milliseconds. */
  sendAside(fd: number, bytes: Uint8Array): Promise<number>;
  /** MSG_DONTWAIT; more than fits is cut off, and the result is the whole length (MSG_TRUNC). */
  receive(fd: number, into: Uint8Array): number;
  close(fd: number): void;
  errno(): number;
}

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const O_RDONLY_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;
const MSG_DONTWAIT_TRUNC = 0x40 | 0x20;
const OWN_NETNS = '/proc/thread-self/ns/net';

/** Undefined when koffi, an optional dependency, is not there or does not fit this machine. */
export async function loadLibc(): Promise<Libc | undefined> {
  let koffi: typeof import('koffi').default;
  try {
    koffi = (await import('koffi')).default;
  } catch {
    // Not installed, or no binary for this machine: the caller has other channels, and says which it took.
    return undefined;
  }
  const lib = koffi.load(null);
  const socket = lib.func('int socket(int, int, int)');
  const setsockopt = lib.func('int setsockopt(int, int, int, int *, uint)');
  const send = lib.func('long send(int, const void *, size_t, int)');
  const recv = lib.func('long recv(int, void *, size_t, int)');
  const open = lib.func('int open(const char *, int)');
  const setns = lib.func('int setns(int, int)');
  const close = lib.func('int close(int)');
  const errno = (): number => koffi.errno();

  /** Runs with the thread in the namespace of the path; nothing else can run meanwhile. */
  function inside(path: string, run: () => number): number {
    const home = open(OWN_NETNS, O_RDONLY_CLOEXEC);
    if (home < 0) throw noNetns(OWN_NETNS, errno());
    const there = open(path, O_RDONLY_CLOEXEC);
    const entered = there < 0 ? -1 : setns(there, CLONE_NEWNET);
    const why = errno();
    if (there >= 0) close(there);
    if (entered < 0) {
      close(home);
      throw noNetns(path, why);
    }
    const result = run();
    const after = errno();
    // A thread that stays abroad would open all later sockets of the agent there.
    if (setns(home, CLONE_NEWNET) < 0) process.abort();
    close(home);
    koffi.errno(after);
    return result;
  }

  const openSocket = (protocol: number): number => socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol);
  return {
    socket: (protocol, netns) =>
      netns === undefined ? openSocket(protocol) : inside(netns, () => openSocket(protocol)),
    setOption: (fd, level, option, value) => setsockopt(fd, level, option, [value], 4),
    send: (fd, bytes) => send(fd, bytes, bytes.length, 0),
    sendAside: (fd, bytes) =>
      new Promise((resolve, reject) => {
        send.async(fd, bytes, bytes.length, 0, (error: Error | null, result: number) => {
          // The other thread reads `bytes`: this callback keeps them until it has.
          if (error === null) resolve(Math.min(result, bytes.length));
          else reject(error);
        });
      }),
    receive: (fd, into) => recv(fd, into, into.length, MSG_DONTWAIT_TRUNC),
    close: (fd) => void close(fd),
    errno,
  };
}

const noNetns = (path: string, errno: number): Error =>
  failure('FL_NETNS', `network namespace ${path} cannot be entered: errno ${errno}`);
