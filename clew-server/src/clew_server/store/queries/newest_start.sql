-- Where the next window begins: the newest start there is below a time; 0 when there is none.
SELECT count(), toUnixTimestamp64Nano(max(start)) FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64})
