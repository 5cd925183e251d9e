export { MemoryDatabase, type MemoryDatabaseOptions, type Outage } from './database.ts';
export type { Call, Fault, FaultPlan, Operation } from './fault.ts';
export { MEMORY_CAPABILITIES, type MemoryDefinition, type MemoryOptions, memory } from './memory.ts';
export type { MemoryRecords } from './memory-records.ts';
