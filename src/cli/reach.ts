import type { Service } from '../core/objects.ts';
import type { Question, Reply } from '../sandbox/cluster/outside.ts';
import { type Column, paint, table } from './table.ts';

/** One port of a load balancer's address, as a client outside meets it. */
export interface ReachRow {
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
  /** Of the last questions: the pod that answered, or why nobody did. */
  readonly replies: readonly Reply[];
}

/** How many of the last answers count: pods that are gone leave the table within as many questions. */
const WINDOW = 20;

export interface Reach {
  /** Asks every port of every address once, side by side. */
  round(services: readonly Service[]): Promise<readonly ReachRow[]>;
}

export function createReach(ask: (question: Question) => Promise<Reply>): Reach {
  let known = new Map<string, readonly Reply[]>(); // address, port, protocol -> the last replies, the newest last
  return {
    async round(services) {
      const rows = await Promise.all(
        targetsOf(services).map(async (target): Promise<ReachRow> => {
          const { address, port, protocol } = target;
          const before = known.get(keyOf(target)) ?? [];
          const reply = await ask({ address, port, protocol });
          // Until its first pod answers a Service is starting, not failing.
          const counted = before.some((each) => 'pod' in each) ? before : [];
          return { ...target, replies: [...counted, reply].slice(-WINDOW) };
        }),
      );
      known = new Map(rows.map((row) => [keyOf(row), row.replies]));
      return rows;
    },
  };
}

/** All of the last `count` questions were answered. */
export const isReached = ({ replies }: ReachRow, count: number): boolean =>
  replies.length >= count && replies.slice(-count).every((reply) => !('error' in reply));

/** What does not change while the same pods answer. */
export const reachContent = (rows: readonly ReachRow[]): unknown =>
  rows.map((row) => [keyOf(row), [...podsOf(row).keys()].sort(), errorOf(row)]);

export function reachText(rows: readonly ReachRow[], from: string, stream: { readonly isTTY?: boolean }): string {
  const head = `from a client outside, ${from}:\n`;
  return rows.length === 0 ? '' : `${paint('bold', head, stream)}${table(columns, rows)}`;
}

const columns: readonly Column<ReachRow>[] = [
  { title: 'NAMESPACE', cell: ({ namespace }) => namespace },
  { title: 'NAME', cell: ({ name }) => name },
  { title: 'ADDRESS', cell: ({ address }) => address },
  { title: 'PORT', cell: ({ port, protocol }) => `${port}/${protocol}` },
  {
    title: 'ANSWERED',
    cell: (row) => `${row.replies.filter((reply) => !('error' in reply)).length} of ${row.replies.length}`,
  },
  {
    title: 'BY',
    cell: (row) =>
      [...podsOf(row)]
        .sort(byName)
        .map(([pod, count]) => `${pod} (${count})`)
        .join(', '),
  },
  { title: 'ERROR', cell: errorOf, optional: true },
];

const byName = ([a]: readonly [string, number], [b]: readonly [string, number]): number => (a < b ? -1 : 1);

function podsOf({ replies }: ReachRow): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const reply of replies) if ('pod' in reply) counts.set(reply.pod, (counts.get(reply.pod) ?? 0) + 1);
  return counts;
}

/** Of the newest question only: an error that is over is none. */
function errorOf({ replies }: ReachRow): string {
  const last = replies.at(-1);
  if (last === undefined || !('error' in last)) return '';
  if (last.error === 'ECONNREFUSED') return 'refused: no pod is ready';
  return last.error === 'ETIMEDOUT' ? 'no answer' : last.error;
}

type Target = Omit<ReachRow, 'replies'>;

const keyOf = ({ namespace, name, address, port, protocol }: Target): string =>
  `${namespace}/${name} ${address} ${port}/${protocol}`;

function targetsOf(services: readonly Service[]): readonly Target[] {
  return services
    .flatMap(({ metadata: { namespace = '', name }, spec, status }) =>
      (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) =>
        (spec.ports ?? []).flatMap(({ port, protocol = 'TCP' }) =>
          ip === undefined || protocol === 'SCTP' ? [] : [{ namespace, name, address: ip, port, protocol }],
        ),
      ),
    )
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}
