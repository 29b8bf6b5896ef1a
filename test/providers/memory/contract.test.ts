import { contract } from '../contract.ts';
import { memoryHarness } from './harness.ts';

contract('memory', () => memoryHarness());
contract('memory, slow and eventually consistent', () =>
  memoryHarness({ latencyMs: 40, consistencyMs: 5000, createMs: 3000, deleteMs: 7000 }),
);
