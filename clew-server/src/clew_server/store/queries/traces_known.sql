-- Does search know this trace, and how many spans of it?
SELECT sum(spans) FROM traces WHERE trace_id=toFixedString(unhex({id:String}),16)
