/** moto for tests: one server for a test or a file, and in it an account of its own for each who asks. */
import { randomInt } from 'node:crypto';
import type { TestContext } from 'node:test';
import { type Access, accessTo } from '../../localstack/access.ts';
import { ensureMoto, howToGetMoto, startMoto } from '../../localstack/moto.ts';
import { type Seeded, seed } from '../../localstack/seed.ts';
import { freePort, type Scope } from '../kube/cluster.ts';
import { guarded } from '../kube/guard.ts';
import { leaveOut } from '../left-out.ts';
import { createRecorder, type Recorder } from './recorder.ts';

export interface Moto {
  /** Of the server itself; what calls it directly is in account 123456789012. */
  readonly url: string;
  /** An account that nobody used before, behind a recorder that is closed with the scope. */
  account(scope: Scope): Promise<Account>;
}
export interface Account extends Recorder {
  /** Twelve digits. */
  readonly id: string;
  /** For SDK clients: the recorder's URL, us-east-1, any credentials. */
  readonly access: Access;
  /** The same past the recorder, for a test's own eyes. */
  readonly aside: Access;
  /** For a process: AWS_ENDPOINT_URL, AWS_REGION and credentials. */
  readonly env: Readonly<Record<string, string>>;
  /** The seed of localstack/seed.ts in this account; its calls are not recorded. */
  seed(cluster: string): Promise<Seeded>;
}

/** For one test. Without moto: with CI=true it is installed, else the test is left out and the answer `undefined`. */
export async function moto(t: Pick<TestContext, 'after' | 'skip'>): Promise<Moto | undefined> {
  const found = await findMoto(t);
  if (found === undefined) leaveOutMoto(t);
  return found;
}

/** The line that says so. */
export function leaveOutMoto(t: Pick<TestContext, 'skip'>): void {
  leaveOut(t, "moto, the stand-in for AWS's API", howToGetMoto);
}

/** The same for any scope, such as `{ after }` of a whole file; the caller leaves out what needs it. */
export async function findMoto(scope: Scope): Promise<Moto | undefined> {
  const python = await ensureMoto();
  if (python === undefined) return undefined;
  const guard = guarded('fairlead-moto-');
  scope.after(() => guard.close());
  const { url } = await startMoto(guard, { python, port: await freePort() });
  const taken = new Set<string>();
  return { url, account: (own) => createAccount(own, url, freshId(taken)) };
}

function freshId(taken: Set<string>): string {
  for (;;) {
    const id = String(randomInt(100_000_000_000, 281_000_000_000_000)).slice(0, 12);
    if (taken.has(id)) continue;
    taken.add(id);
    return id;
  }
}

async function createAccount(scope: Scope, target: string, id: string): Promise<Account> {
  const recorder = await createRecorder(scope, { target, account: id });
  const passage = await createRecorder(scope, { target, account: id });
  const access = accessTo(recorder.url, {});
  const aside = accessTo(passage.url, {});
  return Object.assign(recorder, {
    id,
    access,
    aside,
    env: {
      AWS_ENDPOINT_URL: recorder.url,
      AWS_REGION: access.region,
      AWS_ACCESS_KEY_ID: access.accessKeyId,
      AWS_SECRET_ACCESS_KEY: access.secretAccessKey,
    },
    async seed(cluster: string) {
      return await seed({ ...aside, cluster });
    },
  });
}
