-- Every span of a trace as it came; lengths beside the joined bytes, so that the reader slices instead of parsing.
SELECT toUInt32(received), res, scope, arrayMap(x->toUInt64(length(x)),raw), arrayStringConcat(raw)
FROM chunks WHERE trace_id=unhex({id:String})
