import { difference } from '../../src/core/diff.ts';
import { isEqual } from '../../src/core/equal.ts';
import { failure } from '../../src/core/errors.ts';
import type { Action } from '../../src/core/provider.ts';
import type { Tags } from './names.ts';
import { type Desired, type Port, portName, type Settings } from './plan.ts';

/** The balancer that the cloud has under a Service's name. */
export type Observed =
  | { readonly state: 'absent' }
  /** Somebody else's: neither changed nor deleted. */
  | { readonly state: 'foreign'; readonly name: string }
  | {
      readonly state: 'creating' | 'active' | 'deleting';
      readonly name: string;
      readonly address: string;
      readonly ports: readonly Port[];
      readonly settings: Settings;
    };

/** One write; each carries all that `apply` needs. */
export type Act =
  | (Action<'createBalancer'> & { readonly tags: Tags; readonly address?: string; readonly settings: Settings })
  | (Action<'setAddress'> & { readonly address: string })
  | (Action<'setSources' | 'setTargets' | 'setHealth'> & { readonly settings: Partial<Settings> })
  | (Action<'openPort' | 'closePort'> & { readonly port: Port })
  | Action<'deleteBalancer'>;

/**
 * Opens before it closes, so that a change of ports never serves less than both sides have in common; empties before it
 * deletes, as the cloud demands. Throws FL_MEMORY_FOREIGN when the name is taken.
 */
export function diff(desired: Desired | undefined, observed: Observed): readonly (readonly Act[])[] {
  if (desired === undefined) return removal(observed);
  switch (observed.state) {
    case 'absent':
      return [[create(desired)], desired.ports.map((port) => open(desired.name, port, 'is wanted'))];
    case 'foreign':
      throw failure('FL_MEMORY_FOREIGN', `balancer ${observed.name} exists and is not tagged as ours`);
    case 'deleting':
      return []; // its name is free when it is gone
    case 'creating':
    case 'active':
      return changes(desired, observed);
    default:
      return observed satisfies never;
  }
}

function removal(observed: Observed): readonly (readonly Act[])[] {
  if (observed.state !== 'creating' && observed.state !== 'active') return [];
  const { name, ports } = observed;
  const remove: Act = { kind: 'deleteBalancer', target: name, reason: 'no Service wants it' };
  return [ports.map((port) => close(name, port, 'its balancer goes')), [remove]];
}

function create({ name, tags, address, settings }: Desired): Act {
  return {
    kind: 'createBalancer',
    target: name,
    reason: `Service ${tags.service} has none`,
    tags,
    settings,
    ...(address === undefined ? {} : { address }),
  };
}

function changes(desired: Desired, observed: Extract<Observed, { readonly address: string }>): Act[][] {
  const { name, settings } = desired;
  const ports = difference(observed.ports, desired.ports, { key: portName });
  const set = (kind: 'setSources' | 'setTargets' | 'setHealth', change: Partial<Settings>, what: string): Act[] =>
    isEqual({ ...observed.settings, ...change }, observed.settings)
      ? []
      : [{ kind, target: name, reason: `${what} changed`, settings: change }];
  return [
    [
      ...addressChange(desired, observed.address),
      ...set('setSources', { sources: settings.sources }, 'source ranges'),
      ...set('setTargets', { targets: settings.targets }, 'targets'),
      ...set('setHealth', { health: settings.health }, 'the health check'),
      ...ports.add.map((port) => open(name, port, 'is wanted')),
      ...ports.change.map(({ now }) => open(name, now, `goes to ${now.targetPort} now`)),
    ],
    ports.remove.map((port) => close(name, port, 'is not wanted any more')),
  ];
}

function addressChange({ name, address }: Desired, current: string): Act[] {
  if (address === undefined || address === current) return [];
  return [{ kind: 'setAddress', target: name, reason: `${address} is asked for, not ${current}`, address }];
}

function open(name: string, port: Port, why: string): Act {
  return { kind: 'openPort', target: name, reason: `${portName(port)} ${why}`, port };
}

function close(name: string, port: Port, why: string): Act {
  return { kind: 'closePort', target: name, reason: `${portName(port)}: ${why}`, port };
}
