SELECT toString(uuid), name FROM system.tables WHERE database=currentDatabase()
