// The theme takes light or dark from what was chosen earlier; on a first visit that is nothing, which it calls an error.
document.documentElement.dataset.mode ||= "auto";
