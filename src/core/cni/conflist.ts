/** Capabilities that the plugin serves: a runtime hands over only what is declared here. */
const capabilities = { portMappings: true, ips: true, mac: true };

export interface ConflistOptions {
  /** Name of the network. */
  readonly name: string;
  /** Name of the shim in the CNI bin directory. */
  readonly type: string;
  /** Plugins that the runtime runs after ours, as they stand in a conflist. */
  readonly chained: readonly object[];
}

/**
 * What the runtime reads. `cniVersion` is what the runtimes in use all know (containerd 1.6 refuses what it does not);
 * `cniVersions` lets one that speaks 1.1 use GC and STATUS.
 */
export function conflistText({ name, type, chained }: ConflistOptions): string {
  const conflist = {
    cniVersion: '1.0.0',
    cniVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    name,
    plugins: [{ type, capabilities }, ...chained],
  };
  return `${JSON.stringify(conflist, null, 2)}\n`;
}
