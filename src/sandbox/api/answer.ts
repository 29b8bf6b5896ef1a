import type { Readable } from 'node:stream';
import type { View } from './encode.ts';
import type { JsonObject } from './json.ts';
import type { StatusError } from './status.ts';
import type { Entry } from './store.ts';

/** What goes back to the client. A string body is JSON unless the headers say otherwise. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Readable;
}

export const object = (status: number, view: View, entry: Entry): Answer => ({ status, body: view.object(entry) });
export const json = (status: number, body: JsonObject): Answer => ({ status, body: JSON.stringify(body) });

/** What a client gets for a StatusError. */
export function failureAnswer(failure: StatusError): Answer {
  const { retryAfterSeconds } = failure.body.details ?? {};
  const headers = typeof retryAfterSeconds === 'number' ? { 'retry-after': String(retryAfterSeconds) } : {};
  return { status: failure.code, headers, body: JSON.stringify(failure.body) };
}

/** RFC 7234 section 5.5, as kubectl prints it. */
export function warned(answer: Answer, warnings: readonly string[]): Answer {
  if (warnings.length === 0) return answer;
  const header = [...new Set(warnings)].map((text) => `299 - ${JSON.stringify(text)}`).join(', ');
  return { ...answer, headers: { ...answer.headers, warning: header } };
}
