/** The contract suite on moto: the same provider against somebody else's idea of AWS, over the wire. */
import { after, test } from 'node:test';
import { findMoto, leaveOutMoto } from '../../localstack/moto.ts';
import { contractCases } from '../contract.ts';
import { awsHarness, awsSpecs } from './harness.ts';
import { CLUSTER, type MotoAccount, motoHarness } from './moto-account.ts';

// Not the hook of node:test: inside of a test that would end with it.
const ends: (() => unknown)[] = [];
const scope = { after: (end: () => unknown) => void ends.unshift(end) };
after(async () => {
  for (const end of ends) await end();
});
const server = await findMoto(scope);

if (server === undefined) {
  test('aws on moto', (t) => leaveOutMoto(t));
} else {
  const free: MotoAccount[] = []; // seeding takes longer than most tries
  const seeded = async (): Promise<MotoAccount> => {
    const account = await server.account(scope);
    return { access: account.aside, seeded: await account.seed(CLUSTER) };
  };
  const harness = async () => {
    const account = free.pop() ?? (await seeded());
    return motoHarness(account, () => free.push(account));
  };
  const specs = awsSpecs((await awsHarness()).world);
  for (const { name, run } of contractCases(harness, { specs })) {
    // A hundred worlds each: on the fake, where they take no time.
    if (name.includes('crash')) continue;
    test(`aws on moto: ${name}`, run);
  }
}
