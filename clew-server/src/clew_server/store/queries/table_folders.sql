SELECT arrayJoin(data_paths) FROM system.tables WHERE database=currentDatabase() AND endsWith(engine,'MergeTree')
