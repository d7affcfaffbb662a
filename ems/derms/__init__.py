"""The IEEE 2030.5 server: what DERs are told, and what they say."""
