-- What changes when the spans of a trace do, without reading them.
SELECT count(), sum(length(res)), sum(toUInt64(toUInt32(received))) FROM chunks WHERE trace_id=unhex({id:String})
