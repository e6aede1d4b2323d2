-- How many servers have the id of a client of their trace, as in Zipkin: nearly always none, and then the other statements are simpler.
SELECT count() FROM spans WHERE H(NS({below_ns:Int64}),NS({below_to_ns:Int64})) AND kind=2 AND cityHash64(trace_id,span_id) IN CLIENTS
