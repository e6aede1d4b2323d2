-- Of how many rows of traces there are how many start in a window.
SELECT (SELECT count() FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64})), (SELECT count() FROM traces)
