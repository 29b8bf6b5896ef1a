import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadBalancerStatus } from '../../providers/aws/status.ts';
import type { Service } from '../core/objects.ts';
import type { Action, Removal } from '../core/provider.ts';
import type { Client } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import { awsConfig } from './aws-flags.ts';
import { type Input, InputError, type Terminal } from './command.ts';
import { listOf } from './connect.ts';
import { loadAws } from './provider.ts';
import { callFor, contextFor } from './replica.ts';

/** Load balancers of Services that are gone: uid -> what would be deleted. */
export type Orphans = ReadonlyMap<string, readonly Action[]>;

/** What commands do with the AWS provider besides planning. */
export interface AwsView {
  status(): Promise<readonly LoadBalancerStatus[]>;
  orphans(): Promise<Orphans>;
  /** Deletes all of one orphan. Throws when it is not gone after 10 minutes. */
  remove(uid: string): Promise<void>;
  close(): Promise<void>;
}

const PATIENCE_MS = 600_000;

export async function openAws(client: Client, input: Input, terminal: Terminal): Promise<AwsView> {
  const { signal } = terminal;
  const ended = new AbortController();
  const { create } = await loadAws();
  const config = await awsConfig(input, terminal);
  const cluster = input.flags['cluster-name'] as string;
  const provider = await create(contextFor({ client, cluster, config, signal: ended.signal }), { env: terminal.env });
  const { loadBalancers } = provider.stacks;

  return {
    status: () => provider.status(callFor(signal)),
    async orphans() {
      const { orphans } = await loadBalancers.audit([], callFor(signal));
      // Asked afterwards: whatever has a load balancer by then has its Service.
      const services = await listOf<Service>(client, resources.services, signal);
      if (services === undefined)
        throw new InputError(['the server has no Services: is this a Kubernetes API server?']);
      // Also one that is being deleted: it still has its finalizer, and the controller its work.
      const alive = new Set(
        services.filter(({ spec }) => spec.type === 'LoadBalancer').map(({ metadata }) => metadata.uid),
      );
      return new Map([...orphans].filter(([uid]) => !alive.has(uid)));
    },
    async remove(uid) {
      const deadlineMs = performance.now() + PATIENCE_MS;
      for (;;) {
        const removal: Removal = await loadBalancers.remove({ uid, key: '' }, callFor(signal));
        if (removal.done) return;
        if (performance.now() > deadlineMs) throw new Error(`not gone after 10 minutes: ${removal.reason}`);
        await sleep(removal.retryAfterMs, undefined, { signal });
      }
    },
    async close() {
      ended.abort(new Error('the command has ended'));
      await provider.close();
    },
  };
}
