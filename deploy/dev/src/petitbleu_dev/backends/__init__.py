"""The four backends, each as a program to supervise."""
