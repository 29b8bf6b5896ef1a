import { contract } from '../contract.ts';
import { awsHarness, awsSpecs } from './harness.ts';

const specs = awsSpecs((await awsHarness()).world);

contract('aws', () => awsHarness(), { specs });
contract(
  'aws, slow and eventually consistent',
  () =>
    awsHarness({
      latencyMs: 40,
      lagMs: { reads: 2000, writes: 500, tagging: 5000 },
      provisioningMs: 120_000,
      interfaceLingerMs: 30_000,
      registrationMs: 60_000,
    }),
  { specs },
);
