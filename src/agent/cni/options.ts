import type { MasqueradeOptions } from '../../core/cni/masquerade.ts';
import type { RouteChannel } from '../netlink/channel.ts';
import type { Caller } from './caller.ts';
import type { Disk } from './disk.ts';
import type { InstallOptions } from './install.ts';

export interface CniOptions extends InstallOptions, MasqueradeOptions {
  /** The program that becomes the plugin: the C program, or src/agent/native/shim.sh. */
  readonly shim: string;
  /** Name of the network, in the conflist and as the folder of the address files. */
  readonly network: string;
  /** Plugins that run after ours, as they stand in a conflist. */
  readonly chained: readonly object[];
  readonly stateDir: string;
  readonly networksDir: string;
  /** Of pods; 0: the node's, less `encapsulation`. */
  readonly mtu: number;
  /** Bytes that tunnels between nodes add to a packet. */
  readonly encapsulation: number;
  /** In another network namespace, by its path; for calls of the shell form. */
  readonly openRoute: (netns: string) => Promise<RouteChannel>;
  /** Of the running kernel; for tests. Read from /proc when absent. */
  readonly bootId?: string;
  /** For tests, which kill the part between two effects. */
  readonly effects?: { readonly disk: Disk; caller(caller: Caller): Caller };
}
