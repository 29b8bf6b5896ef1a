import { type EventText, normal, warning } from '../service/events.ts';

// Events on Nodes; reasons are a contract (controllers.md, Events), those of pod CIDRs kube-controller-manager's.

export const synced: EventText = normal('Synced', 'Node synced successfully');

export const invalidNodeIp = (text: string): EventText => warning('InvalidProvidedNodeIP', text);

export const metadataFailed = (text: string): EventText =>
  warning('InstanceMetadataFailed', `The node is not initialised: ${text}`);

export const shutDown = (name: string): EventText =>
  normal('NodeShutdown', `The instance of node ${name} is shut down: no new pods are scheduled to it`);

export const deleting = (name: string): EventText =>
  normal('DeletingNode', `Deleting node ${name} because it does not exist in the cloud provider`);

export const deletingFailed = (name: string, text: string): EventText =>
  warning('DeletingNodeFailed', `Failed deleting node ${name}: ${text}`);

export const deletionHeld = (name: string, why: string): EventText =>
  warning('NodeDeletionHeld', `Node ${name} does not exist in the cloud provider and is kept all the same: ${why}`);

export const cidrUnavailable = (text: string): EventText => warning('CIDRNotAvailable', text);

export const cidrFailed = (text: string): EventText => warning('CIDRAssignmentFailed', text);
