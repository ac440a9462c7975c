package grub

// CorePayload is what a core image holds compressed.
var CorePayload = corePayload
