/** What we use of the SDK, named one by one: a bundle then leaves the rest out. */
export {
  GetResourcesCommand,
  ResourceGroupsTaggingAPIClient as SdkClient,
} from '@aws-sdk/client-resource-groups-tagging-api';
