-- Of some rows of traces, blocks at equal distances through all parts (store/spread.py), how many start in a window, and how many these are.
SELECT countIf(start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64})), count() FROM traces
WHERE intDiv(_part_starting_offset+_part_offset,256) IN range(toUInt64(0),(SELECT intDiv(count(),256)+1 FROM traces),(SELECT intDiv(count(),{wanted:UInt64})+1 FROM traces))
