/** What we use of the SDK, named one by one: a bundle then leaves the rest out. */
export { fromTemporaryCredentials } from '@aws-sdk/credential-providers';
