/** One request to an API server, by nothing of ours but this file: a test's own eyes, independent of src/kube. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

/** An API server and who asks it. */
export interface Where {
  /** Without a slash at the end. */
  readonly url: string;
  readonly token: string;
  /** PEM file of the CA; not read for plain HTTP. */
  readonly caFile: string;
}
export interface Answer {
  readonly status: number;
  readonly text: string;
  /** The body as JSON; `undefined` when it is none. */
  readonly json: unknown;
}

const patchTypes = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

/** Any status is an answer; rejects only when none comes, after 30 s at the latest. A PATCH is a merge patch unless said. */
export function ask(
  where: Where,
  method: string,
  path: string,
  body?: object,
  how: { readonly patch?: keyof typeof patchTypes; readonly accept?: string } = {},
): Promise<Answer> {
  const secure = where.url.startsWith('https:');
  const send = secure ? requestHttps : requestHttp;
  const accept = how.accept ?? 'application/json';
  const headers: Record<string, string> = { Authorization: `Bearer ${where.token}`, Accept: accept };
  if (body !== undefined)
    headers['Content-Type'] = method === 'PATCH' ? patchTypes[how.patch ?? 'merge'] : 'application/json';
  return new Promise((resolve, reject) => {
    const request = send(`${where.url}${path}`, {
      method,
      headers,
      agent: false,
      signal: AbortSignal.timeout(30_000),
      ...(secure ? { ca: readFileSync(where.caFile) } : {}),
    });
    request.once('error', reject);
    request.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text, json: parsed(text) }));
    });
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export interface Ran {
  /** Exit code; -1 when it was killed at its limit. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs kubectl with a kubeconfig; any exit code is a result. Killed after 60 s. Its caches stay out of the home folder. */
export function kubectl(
  api: { readonly kubectl: string | undefined; readonly kubeconfig: string; readonly folder: string },
  args: readonly string[],
  stdin = '',
): Promise<Ran> {
  if (api.kubectl === undefined) throw new Error('no kubectl on this machine');
  const env = { ...process.env, KUBECONFIG: api.kubeconfig, KUBECACHEDIR: `${api.folder}/kubectl`, HOME: api.folder };
  return new Promise((resolve) => {
    const child = execFile(
      api.kubectl as string,
      [...args],
      { env, timeout: 60_000, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.on('error', () => {}); // it may end without reading what it was given; its exit code tells
    child.stdin?.end(stdin);
  });
}
