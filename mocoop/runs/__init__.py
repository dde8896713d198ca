"""The run store: one folder per run, its status, queue, zip file, import and deletion."""
