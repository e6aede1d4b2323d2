-- What is compressed together is read together. A page of traces, a sample of spans or an attribute that few have needs a few rows here and there:
-- a page of 51 takes 0.6 of the CPU, for a twentieth more on the disk (docs/benchmarks.md). Parts that are there already stay as they are until they are merged.
ALTER TABLE traces MODIFY SETTING min_compress_block_size=4096;
ALTER TABLE spans MODIFY SETTING min_compress_block_size=4096;
