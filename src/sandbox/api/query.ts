import { mediaType, parseBody } from './decode.ts';
import { invalidObject, notAllowed, required, unsupported } from './invalid.ts';
import { isObject } from './json.ts';
import { patchTypes } from './patch.ts';
import type { DeleteQuery } from './removal.ts';
import type { ApiRequest } from './route.ts';
import { badRequest } from './status.ts';
import type { WriteOptions } from './write.ts';

const optionsOf: Readonly<Record<string, string>> = {
  POST: 'CreateOptions',
  PUT: 'UpdateOptions',
  PATCH: 'PatchOptions',
};

/** What the URL and the headers of a write say besides its object. Throws 422. */
export function writeOptions(request: ApiRequest, query: URLSearchParams): WriteOptions {
  return {
    dryRun: dryRun(query.getAll('dryRun'), optionsOf[request.method] ?? ''),
    manager: managerOf(request, query),
  };
}

/** What owns the fields of a write that names no manager: the client program (managerOrUserAgent of apiserver). */
export function managerOf(request: ApiRequest, query: URLSearchParams): string {
  const named = query.get('fieldManager') ?? '';
  if (named !== '') return named;
  const agent = (request.headers['user-agent'] ?? '').split('/')[0] ?? '';
  return agent === '' ? 'unknown' : agent.slice(0, 128);
}

/** DeleteOptions, from the body or the URL. Throws 400 and 422. */
export function deleteQuery(request: ApiRequest, query: URLSearchParams): DeleteQuery {
  const body =
    (request.body ?? '') === ''
      ? {}
      : parseBody('DeleteOptions', request.body, mediaType(request.headers['content-type']));
  const preconditions = isObject(body['preconditions']) ? body['preconditions'] : {};
  const grace = body['gracePeriodSeconds'] ?? wholeNumber(query, 'gracePeriodSeconds');
  const policy = body['propagationPolicy'] ?? query.get('propagationPolicy') ?? undefined;
  const orphaning = body['orphanDependents'] ?? flag(query, 'orphanDependents');
  return {
    dryRun: dryRun(
      [...query.getAll('dryRun'), ...(Array.isArray(body['dryRun']) ? body['dryRun'].map(String) : [])],
      'DeleteOptions',
    ),
    ...(typeof grace === 'number' ? { gracePeriodSeconds: grace } : {}),
    ...(orphaning === undefined ? {} : { propagationPolicy: orphaning === true ? 'Orphan' : 'Background' }),
    ...(policy === undefined ? {} : { propagationPolicy: policyOf(String(policy)) }),
    ...(typeof preconditions['uid'] === 'string' ? { uid: preconditions['uid'] } : {}),
    ...(typeof preconditions['resourceVersion'] === 'string'
      ? { resourceVersion: preconditions['resourceVersion'] }
      : {}),
  };
}

function policyOf(text: string): 'Orphan' | 'Background' | 'Foreground' {
  if (text === 'Orphan' || text === 'Background' || text === 'Foreground') return text;
  throw invalidObject('meta.k8s.io', 'DeleteOptions', '', [
    unsupported('propagationPolicy', text, ['Foreground', 'Background', 'Orphan', 'nil']),
  ]);
}

function dryRun(values: readonly string[], options: string): boolean {
  if (values.some((value) => value !== 'All'))
    throw invalidObject('meta.k8s.io', options, '', [unsupported('dryRun', values, ['All'])]);
  return values.length > 0;
}

/** 'true' and '1' are true; undefined when it is not given. */
export function flag(query: URLSearchParams, name: string): boolean | undefined {
  const value = query.get(name);
  return value === null || value === '' ? undefined : value === 'true' || value === '1';
}

/** Throws 400 for what is no whole number. */
export function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  if (value === null || value === '') return undefined;
  if (!/^-?\d+$/.test(value)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  return Number(value);
}

export const isApply = ({ headers }: ApiRequest): boolean => mediaType(headers['content-type']) === patchTypes.apply;

/** ValidatePatchOptions of apimachinery. */
export function checkPatchOptions(request: ApiRequest, query: URLSearchParams): void {
  const errors = [];
  if (isApply(request)) {
    if ((query.get('fieldManager') ?? '') === '') errors.push(required('fieldManager', 'is required for apply patch'));
  } else if (query.has('force')) errors.push(notAllowed('force', 'may not be specified for non-apply patch'));
  if (errors.length > 0) throw invalidObject('meta.k8s.io', 'PatchOptions', '', errors);
}
