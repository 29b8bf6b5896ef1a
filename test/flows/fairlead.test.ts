/** The tables against our agent, as they stand. */
import { fairlead } from './proxies.ts';
import { testTables } from './suites.ts';

testTables(async () => fairlead, 'fairlead agent');
