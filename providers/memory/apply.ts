import type { Call } from '../../src/core/provider.ts';
import type { MemoryCloud } from './cloud.ts';
import { isCloudError } from './cloud-error.ts';
import type { Act } from './diff.ts';
import { callCloud } from './errors.ts';

/** One write. What is there already, or gone already, is a success. */
export async function apply(cloud: MemoryCloud, action: Act, call: Call): Promise<void> {
  await callCloud(call, 'write', () => write(cloud, action, call.signal));
}

async function write(cloud: MemoryCloud, action: Act, signal: AbortSignal): Promise<void> {
  const { target: name } = action;
  switch (action.kind) {
    case 'createBalancer': {
      const { tags, address, settings } = action;
      try {
        await cloud.create(
          { name, tags: { ...tags }, ...settings, ...(address === undefined ? {} : { address }) },
          signal,
        );
      } catch (error) {
        if (!isCloudError(error, 'AlreadyExists')) throw error;
        // An earlier try of ours whose answer was lost; or somebody else's, which the error says.
        const found = await cloud.find(name, signal);
        if (found?.tags['cluster'] !== tags.cluster || found.tags['uid'] !== tags.uid) throw error;
      }
      return;
    }
    case 'setAddress':
      return await cloud.update(name, { address: action.address }, signal);
    case 'setSources':
    case 'setTargets':
    case 'setHealth':
      return await cloud.update(name, action.settings, signal);
    case 'openPort':
      return await cloud.openPort(name, action.port, signal);
    case 'closePort':
      return await cloud.closePort(name, action.port, signal);
    case 'deleteBalancer':
      return await cloud.remove(name, signal);
    default:
      return action satisfies never;
  }
}
