"""Problems whose events are generated or come with a library; one file each."""
