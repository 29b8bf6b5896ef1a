import type { IpFamily } from '../provider.ts';
import type { ConntrackEntry, ConntrackFilter, Tuple } from './conntrack.ts';

const NAMES: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' };

/** Arguments of `conntrack` that list what the filter wants, as text with ids. */
export function conntrackListArgs({
  family,
  protocol,
  destination,
  destinationPort,
}: ConntrackFilter): readonly string[] {
  return [
    '-L',
    '-f',
    family,
    '-p',
    NAMES[protocol] ?? String(protocol),
    '-o',
    'id',
    ...(destination === undefined ? [] : ['--orig-dst', destination]),
    ...(destinationPort === undefined ? [] : ['--orig-port-dst', String(destinationPort)]),
  ];
}

/** Arguments of `conntrack` that delete one entry, by its original tuple. */
export function conntrackDeleteArgs({ family, protocol, original, zone }: ConntrackEntry): readonly string[] {
  return [
    '-D',
    '-f',
    family,
    '-p',
    NAMES[protocol] ?? String(protocol),
    '--orig-src',
    original.source,
    '--orig-dst',
    original.destination,
    '--orig-port-src',
    String(original.sourcePort),
    '--orig-port-dst',
    String(original.destinationPort),
    ...(zone === 0 ? [] : ['--zone', String(zone)]),
  ];
}

/** Reads `conntrack -L -o id`; lines that are no entry (its summary) are left out. */
export function parseConntrack(text: string, family: IpFamily): readonly ConntrackEntry[] {
  return text.split('\n').flatMap((line) => {
    const protocol = /^\w+\s+(\d+)/.exec(line)?.[1];
    const id = / id=(\d+)/.exec(line)?.[1];
    const [original, reply] = tuplesOf(line);
    if (protocol === undefined || id === undefined || original === undefined || reply === undefined) return [];
    const zone = Number(/ zone=(\d+)/.exec(line)?.[1] ?? 0);
    return [{ family, protocol: Number(protocol), original, reply, id: Number(id), zone }];
  });
}

function tuplesOf(line: string): readonly Tuple[] {
  const fields = line.matchAll(/ src=(\S+) dst=(\S+)(?: sport=(\d+) dport=(\d+))?/g);
  return [...fields].map(([, source = '', destination = '', from, to]) => ({
    source,
    destination,
    sourcePort: Number(from ?? 0),
    destinationPort: Number(to ?? 0),
  }));
}
