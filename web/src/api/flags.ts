/** Bits of `Skeleton.flags` of the query API. Generated from its OpenAPI document by scripts/api_types.py; do not edit. */
export const FLAG = {
  failed: 1,
  origin: 2,
  events: 4,
  links: 8,
  outside: 16,
  duplicate: 32,
  adjusted: 64,
  handled: 128,
} as const
