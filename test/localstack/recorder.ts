/**
 * A proxy before an AWS API: it counts and times every call, stamps moto's account on it, and can answer in the API's place.
 * A controller in another process gets `url` in AWS_ENDPOINT_URL.
 */
import { once } from 'node:events';
import { Agent, createServer, type IncomingHttpHeaders, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { Scope } from '../kube/cluster.ts';

export interface Recorded {
  /** 'elasticloadbalancing', 'ec2', 'tagging', 'acm': the scope of the signature. */
  readonly service: string;
  /** 'CreateLoadBalancer' */
  readonly operation: string;
  /** Of a form: the fields as they were sent, such as 'Names.member.1'. Empty for JSON. */
  readonly form: URLSearchParams;
  readonly body: string;
  /** performance.now() of this process. */
  readonly startMs: number;
  /** Absent until the answer has been sent. */
  endMs?: number;
  /** Absent until there is an answer, and for one that never came. */
  status?: number;
}
/** An answer in place of the API's; 'break' cuts the connection instead, 'break after' does so once the API has done it. */
export type Fault = { readonly status: number; readonly body: string } | 'break' | 'break after';

export interface Recorder {
  /** Of this proxy, without a slash at the end. */
  readonly url: string;
  /** All calls since the start or `clear`, in order of arrival. */
  readonly calls: readonly Recorded[];
  clear(): void;
  /** How often each operation was called: { CreateListener: 2 }; sorted. */
  counts(): Readonly<Record<string, number>>;
  /** Asked for each call before it is passed on; `undefined` passes it. Absent: all pass. */
  fault?: ((call: Recorded) => Fault | undefined) | undefined;
  close(): Promise<void>;
}

/** On a free port of loopback, until the scope ends. `account`: whose things moto shows (x-moto-account-id). */
export async function createRecorder(
  scope: Scope,
  { target, account }: { readonly target: string; readonly account?: string },
): Promise<Recorder> {
  const agent = new Agent({ keepAlive: true });
  const calls: Recorded[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const startMs = performance.now();
      const bytes = await buffer(request);
      const call = recorded(request.headers, bytes.toString('utf8'), startMs);
      calls.push(call);
      const fault = recorder.fault?.(call);
      if (fault === 'break') return void request.socket.destroy();
      const answer =
        typeof fault === 'object'
          ? { status: fault.status, headers: {}, body: Buffer.from(fault.body) }
          : await pass(request.url ?? '/', request.headers, bytes);
      if (fault === 'break after') return void request.socket.destroy();
      call.status = answer.status;
      response.writeHead(answer.status, answer.headers).end(answer.body);
      call.endMs = performance.now();
    })().catch(() => request.socket.destroy()); // the API is away: so are we
  });

  async function pass(path: string, headers: IncomingHttpHeaders, body: Buffer) {
    const { connection: _, ...kept } = headers;
    const passed = send(`${target}${path}`, {
      method: 'POST',
      agent,
      headers: { ...kept, ...(account === undefined ? {} : { 'x-moto-account-id': account }) },
    });
    passed.end(body);
    const [answer] = (await once(passed, 'response')) as [import('node:http').IncomingMessage];
    const type = answer.headers['content-type'];
    return {
      status: answer.statusCode ?? 0,
      headers: type === undefined ? {} : { 'content-type': type },
      body: await buffer(answer),
    };
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const recorder: Recorder = {
    url: `http://127.0.0.1:${port}`,
    calls,
    clear: () => void calls.splice(0),
    counts() {
      const counts = new Map<string, number>();
      for (const { operation } of calls) counts.set(operation, (counts.get(operation) ?? 0) + 1);
      return Object.fromEntries([...counts].sort(([a], [b]) => a.localeCompare(b)));
    },
    async close() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
  scope.after(() => recorder.close());
  return recorder;
}

function recorded(headers: IncomingHttpHeaders, body: string, startMs: number): Recorded {
  const target = headers['x-amz-target'];
  const isForm = headers['content-type']?.includes('x-www-form-urlencoded') === true;
  const form = new URLSearchParams(isForm ? body : '');
  const operation = form.get('Action') ?? String(target ?? 'none').replace(/^.*\./, '');
  const service = /Credential=[^/]+\/\d+\/[^/]+\/([^/]+)\//.exec(headers.authorization ?? '')?.[1] ?? 'none';
  return { service, operation, form, body, startMs };
}
