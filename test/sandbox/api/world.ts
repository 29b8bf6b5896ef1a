/** A sandbox in this process under a virtual clock, and a plain way to talk to it. */

import type { Transport } from '../../../src/kube/request.ts';
import { createSandboxApi, type SandboxApi, type SandboxOptions } from '../../../src/sandbox/api/server.ts';
import { createVirtualClock, type VirtualClock } from '../../fake/clock.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers of any kind are read into
export type Json = any;

export interface World {
  readonly api: SandboxApi;
  readonly clock: VirtualClock;
  /** The parsed answer with its status; a text that is no JSON stays text. */
  ask(
    method: string,
    path: string,
    body?: unknown,
    type?: string,
  ): Promise<{ readonly status: number; readonly body: Json }>;
  /** As `ask`, for what must work: throws for any status of 300 and above. */
  must(method: string, path: string, body?: unknown, type?: string): Promise<Json>;
  /** Opens a watch; `events` grows as they come. */
  watch(path: string): Promise<Watch>;
}
export interface Watch {
  readonly events: readonly Json[];
  /** 'open', 'ended', or the error that broke it. */
  state(): string;
  close(): void;
}

export const merge = 'application/merge-patch+json';
export const strategic = 'application/strategic-merge-patch+json';

/** Without the plane's controllers unless `options` say otherwise. */
export function createWorld(options: Partial<SandboxOptions> = {}): World {
  const clock = createVirtualClock();
  const api = createSandboxApi({ clock, plane: false, ...options });
  return { api, clock, ...talkTo(api.transport()) };
}

export function talkTo(transport: Transport): Pick<World, 'ask' | 'must' | 'watch'> {
  const { signal } = new AbortController();
  const ask: World['ask'] = async (method, path, body, type = 'application/json') => {
    const response = await transport.send({
      method,
      path,
      headers: { 'user-agent': 'test/1', ...(body === undefined ? {} : { 'content-type': type }) },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal,
    });
    let text = '';
    for await (const chunk of response.body) text += chunk;
    return { status: response.status, body: parsed(text) };
  };
  return {
    ask,
    async must(method, path, body, type) {
      const answer = await ask(method, path, body, type);
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body;
    },
    async watch(path) {
      const abort = new AbortController();
      const response = await transport.send({ method: 'GET', path, headers: {}, signal: abort.signal, stream: true });
      const events: Json[] = [];
      let state = 'open';
      let rest = '';
      response.body.on('data', (chunk: string | Buffer) => {
        const lines = `${rest}${chunk}`.split('\n');
        rest = lines.pop() ?? '';
        events.push(...lines.map((line) => JSON.parse(line)));
      });
      response.body.on('end', () => {
        state = 'ended';
      });
      response.body.on('error', (error: Error & { code?: string }) => {
        state = error.code ?? error.message;
      });
      return { events, state: () => state, close: () => abort.abort(new Error('closed by the test')) };
    },
  };
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export const configMap = (
  name: string,
  data: Record<string, string> = {},
  labels: Record<string, string> = {},
): object => ({
  metadata: { name, labels },
  data,
});
export const configMaps = '/api/v1/namespaces/default/configmaps';
export const services = '/api/v1/namespaces/default/services';

/** 'ADDED a', 'BOOKMARK 12': what a watch said, in short. */
export const told = (events: readonly Json[]): readonly string[] =>
  events.map(
    ({ type, object }) =>
      `${type} ${type === 'BOOKMARK' ? object.metadata.resourceVersion : (object.metadata.name ?? object.message)}`,
  );
