import type { ResourceName } from '../../src/core/provider.ts';

/** The kinds that on-prem reads or writes. */
export const resources = {
  ipblocks: { group: 'fairlead.dev', version: 'v1alpha1', plural: 'ipblocks' },
  ipaddresspools: { group: 'metallb.io', version: 'v1beta1', plural: 'ipaddresspools' },
  configurationstates: { group: 'metallb.io', version: 'v1beta1', plural: 'configurationstates' },
  services: { group: '', version: 'v1', plural: 'services' },
  namespaces: { group: '', version: 'v1', plural: 'namespaces' },
  pods: { group: '', version: 'v1', plural: 'pods' },
  configmaps: { group: '', version: 'v1', plural: 'configmaps' },
  events: { group: '', version: 'v1', plural: 'events' },
} as const satisfies Record<string, ResourceName>;
