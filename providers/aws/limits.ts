import type { Call, Clock, Limits } from '../../src/core/provider.ts';
import type { AwsClients } from './client.ts';
import { createFlight } from './flight.ts';
import { pages } from './pages.ts';

/**
 * What AWS takes at best; each `throttled` answer halves its class (Ruling 1). Measured: reads of ELBv2 have a bucket of 40
 * that fills by 10 per second and account; so the high start is for the burst, and the low end is found by itself. EC2 has
 * a bucket for each operation. Windows of 10 s: what one event causes, a pod behind fifty Services, goes out at once.
 */
export const limits: Limits = {
  default: { concurrency: 32 },
  'elb.register': { concurrency: 32, starts: { max: 200, intervalMs: 10_000 }, retries: 3 },
  'elb.create': { concurrency: 32, starts: { max: 500, intervalMs: 10_000 }, retries: 3 },
  'elb.describe': { concurrency: 32, starts: { max: 500, intervalMs: 10_000 }, retries: 3 },
  'ec2.read': { concurrency: 16, starts: { max: 40, intervalMs: 2000 }, retries: 3 },
  'ec2.write': { concurrency: 32, starts: { max: 500, intervalMs: 10_000 }, retries: 3 },
  tagging: { concurrency: 16, starts: { max: 30, intervalMs: 2000 }, retries: 3 },
};

/** The account's limits (DescribeAccountLimits), by AWS's names. */
export interface AccountLimits {
  /** At most an hour old. */
  read(call: Call): Promise<Readonly<Record<string, number>>>;
  /** As far as they are known. */
  readonly known: Readonly<Record<string, number>>;
}

const MAX_AGE_MS = 3_600_000;

export function createAccountLimits({
  clients,
  clock,
}: {
  readonly clients: AwsClients;
  readonly clock: Clock;
}): AccountLimits {
  let known: Readonly<Record<string, number>> = {};
  let sentMs = Number.NEGATIVE_INFINITY;
  const flight = createFlight(async (call) => {
    const nowMs = clock.monotonicMs();
    const all = await pages(
      (marker) =>
        clients.elb.describeAccountLimits({ PageSize: 400, ...(marker === undefined ? {} : { Marker: marker }) }, call),
      ({ NextMarker }) => NextMarker,
    );
    known = Object.fromEntries(
      all
        .flatMap(({ Limits: rows = [] }) => rows.map(({ Name = '', Max = '' }) => [Name, Number(Max)] as const))
        .filter(([, max]) => Number.isFinite(max)),
    );
    sentMs = nowMs;
  });
  return {
    async read(call) {
      while (clock.monotonicMs() - sentMs > MAX_AGE_MS) await flight.join(call);
      return known;
    },
    get known() {
      return known;
    },
  };
}
